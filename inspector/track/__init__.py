"""Inspections and gaps in order, messages out: what is one defect, what needs a person; as pure as `inspection`."""
