"""What is trained every round."""
