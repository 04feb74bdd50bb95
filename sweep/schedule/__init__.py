"""Which stage runs next, as a pure state machine: no Ray, no clock."""
