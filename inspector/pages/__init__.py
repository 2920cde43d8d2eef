"""How a page is made: from a template, in the language of who reads it."""
