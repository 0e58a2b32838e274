"""Who may call, read and write what: rules, their readers, and the matcher that answers. Who somebody is, is found out elsewhere."""
