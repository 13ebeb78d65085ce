"""What tests stand on: real servers, real databases, and the people of every scenario."""
