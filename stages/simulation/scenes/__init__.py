"""What MuJoCo draws: rooms, streets and scenes of physics, their textures, and trajectories of cameras."""
