"""Raw sources: what lies where in a dump of any form, and its bytes."""
