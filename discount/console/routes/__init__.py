"""The pages, one file a noun. A view asks operations of the API and says which template shows their answers."""
