"""Files of 3D faces: `pointcloud` reads and writes them, `meshfile` and `plyfaces` know the formats."""
