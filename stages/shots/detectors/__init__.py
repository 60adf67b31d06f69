"""The detectors of PySceneDetect, which `ReplaySceneDetect` replays on stored signals."""
