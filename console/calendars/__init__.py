"""Календари: business-day calendars that schedules follow."""
