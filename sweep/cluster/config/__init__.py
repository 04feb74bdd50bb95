"""The cluster file of ``ray up``, and what the instance types in it have and cost."""
