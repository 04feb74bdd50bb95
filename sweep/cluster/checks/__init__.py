"""What can be known of a cluster file before it costs anything."""
