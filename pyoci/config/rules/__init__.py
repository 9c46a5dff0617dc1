"""What the schema cannot say about config.json: one module for each chapter, whose rules yield errors."""
