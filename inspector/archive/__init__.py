"""Archives of pictures, inspected again on one machine or many, and what another bundle makes of them."""
