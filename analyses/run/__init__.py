"""From games to a finished folder, and opening one."""
