"""The command line: one thin file a verb, imported when that verb is asked for."""
