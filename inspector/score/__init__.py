"""What a station published against what was there: matched one to one, with chance beside it."""
