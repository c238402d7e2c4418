"""What the model is asked: prompts that fit each model's context window."""
