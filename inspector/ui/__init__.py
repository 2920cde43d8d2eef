"""What a browser shows: one page, rendered without script, template engine or foreign asset."""
