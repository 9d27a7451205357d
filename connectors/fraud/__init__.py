"""Tampers to fraud detection, on `fraud.tampers`."""
