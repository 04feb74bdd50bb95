"""Every sort of scenario."""

from __future__ import annotations

SCENARIOS = {
    "Random": {},
    "Start": {"start": "imagenet"},
    "Tissue": {"pretrain": "tissue"},
    "Both": {"pretrain": ["tissue", "scenes"]},
    "Start+Both": {"start": "imagenet", "pretrain": ["tissue", "scenes"]},
    "Reversed": {"pretrain": ["scenes", "tissue"]},
}
