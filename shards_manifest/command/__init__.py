"""What the commands of both programs share: how they end, and how they speak."""
