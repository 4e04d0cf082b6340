"""Floor 5. From a recipe to versions: recipe, signature, registry, plan, build, estimate."""
