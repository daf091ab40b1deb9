"""Identity branch and injection: ViT features and vertices -> identity tokens -> per-layer K, V."""
