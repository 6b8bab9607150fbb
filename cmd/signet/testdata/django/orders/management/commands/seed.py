import json
from pathlib import Path

from django.contrib.auth.hashers import make_password
from django.contrib.auth.models import Group, Permission, User
from django.core.management.base import BaseCommand


class Command(BaseCommand):
    help = "Makes the accounts of people.json, in its order, and their groups; or makes them so again."

    def handle(self, **_):
        for codename in ("add_order", "ship_order"):
            group, _ = Group.objects.get_or_create(name=codename.replace("_order", "ers"))
            group.permissions.add(Permission.objects.get(codename=codename))
        for person in json.loads(Path("people.json").read_text()):
            password = make_password(person["password"], hasher=person.get("hasher", "default"))
            fields = {"password": password, "email": person.get("email", ""), **person.get("flags", {})}
            user, _ = User.objects.update_or_create(username=person["username"], defaults=fields)
            user.groups.set(Group.objects.filter(name__in=person.get("groups", [])))
            user.user_permissions.set(Permission.objects.filter(codename__in=person.get("permissions", [])))
