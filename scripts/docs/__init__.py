"""What belongs to the documentation's making: its generated pages and its links."""
