"""The scripts. They are read as text and run cell by cell; nothing in the library imports one."""
