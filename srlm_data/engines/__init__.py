"""Floor 2. Text generation behind one protocol, and the response cache."""
