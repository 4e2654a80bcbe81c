"""The four ranks of the demo's taxonomy, and how many species they make."""

REALMS = ("Wavy", "Tiled", "Misty", "Dusty")
FAMILIES = ("disk", "triangle", "square", "trefoil", "quatrefoil", "hexagon", "cinquefoil")
GENERA = ("striped", "ringed", "spoked", "checked")
KINDS = ("halo, bright", "moons, bright", "halo, dark", "moons, dark")

MOST_SPECIES = len(REALMS) * len(FAMILIES) * len(GENERA) * len(KINDS)
"""How many classes with pictures there can be, 448."""

SPECIES = 16
"""How many are drawn by default: two at every rank."""
