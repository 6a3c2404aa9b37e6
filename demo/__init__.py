"""The demo network: handwritten digits through the whole machine; see README.md."""
