"""What ``python -m sweep.run`` does: plan, run a study, run one stage."""
