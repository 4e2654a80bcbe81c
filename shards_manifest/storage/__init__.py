"""Local files and object stores behind one interface, with retries and atomic writes."""
