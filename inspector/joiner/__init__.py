"""Several stations on one strip: their messages joined to what is on its whole width, both sides."""
