"""HTTP and SOAP: others post messages to us, we post messages to others. What it speaks: README.md."""
