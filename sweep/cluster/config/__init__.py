"""The cluster file of ``ray up``, and the resources and prices of the instance types in it."""
