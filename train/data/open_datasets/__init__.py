"""Other people's datasets, in the forms in which they are downloaded."""
