"""Every way in: command line, REST API and web page."""
