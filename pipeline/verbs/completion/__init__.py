"""Shell completion: the script for the shell, and the words that it asks for."""
