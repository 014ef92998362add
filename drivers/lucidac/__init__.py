"""LUCIDAC, anabrid's analog computer: its messages, its circuits, and the substrate made of it (docs/lucidac.md)."""
