"""The views of the internal surface. They translate; the rules are in the services of the apps."""
