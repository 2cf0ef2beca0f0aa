"""What somebody who helps has to know of a machine, and whether the program works there."""
