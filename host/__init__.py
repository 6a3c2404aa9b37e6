"""The host side: sessions, drivers and transports."""
