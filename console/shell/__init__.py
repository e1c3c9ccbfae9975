"""What every page of the console shares: the layout, who is asking, the menu, words and links."""
