"""Inspections and gaps in order, messages out: what is one defect, what asks for a person; as pure as `inspection`."""
