"""What a person looks at: tables, figures, pages; the only room with HTML."""
