"""Files of 3D faces: `pointcloud` reads and writes them; `meshfile` knows the formats, one file for each of them."""
