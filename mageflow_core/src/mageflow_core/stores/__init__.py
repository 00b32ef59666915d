"""Stores: what holds runs and applies the machine's steps atomically."""
