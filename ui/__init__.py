"""Every way in: command line, REST, web page."""
