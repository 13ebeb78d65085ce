"""The parts that tests share: real servers, real databases, and the people of every scenario."""
